"""Answers to the exercises, one module for each chapter: CHECKS, label -> question (see resnet_lib/checks)."""
