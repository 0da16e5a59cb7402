// What the server says stands out at the end of the range, asked for again each minute and when another time is looked at.

import { ask, Problem, query, zone } from '../lib/api';
import type { Verdict } from '../lib/verdict';

class Verdicts {
  /** Null before the answer, and when there is none. */
  current = $state.raw<Verdict | null>(null);
  private asking: AbortController | null = null;

  /** Of a moment in milliseconds; null for now. */
  async load(at: number | null): Promise<void> {
    this.asking?.abort();
    const abort = new AbortController();
    this.asking = abort;
    try {
      this.current = await ask<Verdict>(`verdict?${query({ at: at ?? undefined, tz: zone })}`, { signal: abort.signal });
    } catch (error) {
      if (abort.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      // What was said of another moment must not stand. The notices tell when the server does not answer.
      this.current = null;
    }
  }
}

export const verdicts = new Verdicts();
