/* One net of <residual-playground>: the worker that trains it, and what the worker last said.
   Classic script: one name on globalThis.  needs: engine */
(function () {
  "use strict";

  const TEXT = {
    silent: "no answer",
  };

  class PlaygroundTrainer {
    constructor(index, onAnswer, onDeath) {
      Object.assign(this, { index, onAnswer, onDeath, losses: [], broken: null });
    }

    start(spec, patience) {
      this.stop();
      Object.assign(this, { losses: [], broken: null, statistics: null, removed: [], step: 0, patience, surface: null, surfaceStep: 0, right: null });
      try {
        if (!PlaygroundTrainer.address) {
          const text = `${globalThis.ResidualEngine.source}\nResidualEngine.serve(self);`;
          PlaygroundTrainer.address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
        }
        this.worker = new Worker(PlaygroundTrainer.address);
      } catch (error) {
        queueMicrotask(() => this.onDeath(this, error.message));
        return;
      }
      this.worker.onerror = (event) => {
        event.preventDefault();
        this.onDeath(this, event.message || TEXT.silent);
      };
      this.worker.onmessage = ({ data }) => this.hear(data);
      this.send({ start: spec, surface: true });
    }

    stop() {
      clearTimeout(this.timer);
      if (this.worker) this.worker.terminate();
      Object.assign(this, { worker: null, waiting: false, then: null });
    }

    send(message) {
      this.waiting = true;
      this.timer = setTimeout(() => this.onDeath(this, TEXT.silent), this.patience);
      this.worker.postMessage(message);
    }

    hear(answer) {
      clearTimeout(this.timer);
      this.waiting = false;
      answer.losses.forEach((loss, k) => { this.losses[answer.from + k] = loss; });
      Object.assign(this, { step: answer.step, loss: answer.loss, removed: answer.removed, milliseconds: answer.milliseconds });
      if (answer.statistics) this.statistics = answer.statistics;
      // of one step, which may lie behind that of the loss
      if (answer.surface) Object.assign(this, { surface: answer.surface, surfaceStep: answer.step, right: answer.statistics.right, fresh: true });
      const broke = !Number.isFinite(answer.loss);
      // nothing that was said before holds now
      if (broke) Object.assign(this, { broken: answer.step, statistics: null, surface: null, fresh: true });
      this.onAnswer(this, broke);
    }

    /* Norm of a block's two gradients together, spread and 1 - cosine after it. */
    values(l) {
      const s = this.statistics;
      return s ? [Math.hypot(s.gradient1[l], s.gradient2[l]), s.spread[l + 1], s.angle[l + 1]] : [NaN, NaN, NaN];
    }
  }

  globalThis.PlaygroundTrainer = PlaygroundTrainer;
})();
