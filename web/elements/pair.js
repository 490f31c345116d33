/* The two nets of <residual-playground>, kept in step: both get the same number of steps, each in its own worker, and
   the next ones when both have answered; so the page is never flooded.
   Classic script: one name on globalThis.  needs: trainer */
(function () {
  "use strict";

  const TEXT = {
    removed: (name, l, before, after) => `${name} net without block ${l}: loss ${before} → ${after}.`,
    back: (name, l, before, after) => `${name} net with block ${l} again: loss ${before} → ${after}.`,
    broken: (name, step, both) => `${name} net: the loss is no number any more since step ${step} (overflow). ` +
      (both ? "Both nets are stopped." : "It is stopped; the other goes on."),
    finished: (most) => `Stopped at ${most} steps. Reset begins again.`,
    died: (name, reason) => `The worker of the ${name} net stopped (${reason}). It was restarted; both nets begin again at step 0.`,
    gaveUp: (reason) => `The workers do not start in this browser (${reason}), so nothing can be trained here.`,
  };
  const MOST = 20000; // steps after which a run ends
  const PATIENCE = 20000; // milliseconds without an answer after which a worker counts as dead
  const RESTARTS = 3;

  class PlaygroundPair {
    /* draw(finished), say(words) and showRunning(running) of the page; short writes a number. */
    constructor({ draw, say, showRunning, short }) {
      Object.assign(this, { draw, say, showRunning, short, restarts: 0, patience: PATIENCE, running: false, goal: 0 });
      this.sides = [0, 1].map((k) => new globalThis.PlaygroundTrainer(k, (side, broke) => this.answered(side, broke),
        (side, why) => this.died(side, why)));
    }

    /* Begins at step 0.  specs: of both nets for the engine; names: of both for the words; first: steps after which
       it waits for its reader. */
    begin(specs, names, words, first) {
      Object.assign(this, { specs, names });
      this.restart(words);
      this.goal = first;
    }

    restart(words = "") {
      if (this.dead) return;
      Object.assign(this, { goal: 0, size: 4, looked: 0 });
      this.say(words);
      for (const side of this.sides) side.start(this.specs[side.index], this.patience);
      this.setRunning(false);
    }

    toggleRun() {
      if (this.dead) return;
      this.goal = 0;
      this.setRunning(!this.running);
      this.next();
    }

    stepOnce() {
      if (this.running || this.dead) return;
      this.goal = this.step() + 1;
      this.next();
    }

    setRunning(running) {
      this.running = running;
      this.showRunning(running);
    }

    well() {
      return this.sides.filter((side) => side.broken === null);
    }

    /* Where the nets are that can be trained; where they stopped, if none can. */
    step() {
      const well = this.well();
      return Math.max(...(well.length ? well : this.sides).map((side) => side.step));
    }

    /* Sends the next steps when both nets have answered. */
    next() {
      const well = this.well();
      if (this.dead || this.sides.some((side) => side.waiting)) return;
      const step = this.step(), limit = this.running ? MOST : this.goal;
      if (!well.length || step >= limit) {
        const behind = well.filter((side) => side.surfaceStep !== step); // not every step was looked at
        for (const side of behind) side.send({ steps: 0, surface: true });
        if (behind.length) return;
        if (this.running && step >= MOST) this.say(TEXT.finished(MOST));
        if (this.running) this.setRunning(false);
        this.draw(true);
        return;
      }
      const slowest = Math.max(...well.map((side) => side.milliseconds), 1);
      this.size = Math.min(Math.max(Math.round(this.size * 40 / slowest), 1), 100, limit - step);
      const surface = step + this.size >= limit || performance.now() - this.looked > 250;
      if (surface) this.looked = performance.now();
      for (const side of well) side.send({ steps: this.size, surface });
    }

    answered(side, broke) {
      if (broke) this.say(TEXT.broken(this.names[side.index], side.broken, !this.well().length));
      const then = side.then;
      side.then = null; // before the call, which may leave something for the next answer
      if (then) then();
      if (this.sides.some((s) => s.waiting)) return;
      // Ten drawings a second are enough, and leave the page free for its reader.
      if (performance.now() - (this.drawnAt || 0) < 100) this.next();
      else requestAnimationFrame(() => {
        this.drawnAt = performance.now();
        this.draw(false);
        this.next();
      });
    }

    died(side, reason) {
      if (this.dead) return;
      for (const each of this.sides) each.stop();
      this.restarts += 1;
      this.dead = this.restarts > RESTARTS;
      if (this.dead) this.say(TEXT.gaveUp(reason));
      else this.restart(TEXT.died(this.names[side.index], reason));
    }

    /* Takes block l out of a net, or puts it back. */
    toggle(index, l) {
      const side = this.sides[index];
      if (this.dead || side.broken !== null) return;
      if (side.waiting) { // at once after the answer that is on its way
        if (!side.then) side.then = () => this.toggle(index, l);
        return;
      }
      const before = side.loss;
      side.then = () => {
        const words = side.removed[l] ? TEXT.removed : TEXT.back;
        this.say(words(this.names[index], l + 1, this.short(before), this.short(side.loss)));
        this.draw(true);
      };
      side.send({ toggle: l, surface: true });
    }
  }

  globalThis.PlaygroundPair = PlaygroundPair;
})();
