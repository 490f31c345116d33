"""Answers to the exercises, one module for each chapter: CHECKS, label -> question (see resnet_lib/checks)."""

RECORDED: tuple[str, ...] = ()  # in an edition without answers: the exercises that have a check elsewhere
