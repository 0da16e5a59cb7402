// What is usual at this hour, asked for once an hour: the same clock hour of the last seven days, by the minute.

import { ask, query } from '../lib/api';
import { labelValues, seriesKey } from '../lib/catalog';
import type { Answer, Values } from '../lib/frame';
import { sameHours, usual, type Usual } from '../lib/usual';
import { feed } from './feed.svelte';

class Usuals {
  /** By series. */
  bands = $state.raw<ReadonlyMap<string, Usual>>(new Map());
  /** Whether an answer has come for this hour. */
  known = $state(false);
  private hour = '';

  /** Asks again when another hour has begun. */
  async load(ids: readonly string[], now: number): Promise<void> {
    const { catalog } = feed;
    const hour = new Date(now).toString().slice(0, 18);
    if (!catalog || hour === this.hour) return;
    this.hour = hour;
    const days: Map<string, Values>[] = [];
    try {
      for (const { from, to } of sameHours(now)) {
        const answer = await ask<Answer>(`series?${query({ select: ids, from, to, step: '1m' })}`);
        const day = new Map<string, Values>();
        for (const found of answer.series) {
          const metric = catalog.get(found.id);
          if (metric && found.avg) day.set(seriesKey(found.id, labelValues(metric, found.labels)), found.avg);
        }
        days.push(day);
      }
    } catch {
      // Nothing is said of the usual then; the next hour asks again.
      return;
    }
    const keys = new Set(days.flatMap((day) => [...day.keys()]));
    const bands = new Map<string, Usual>();
    for (const key of keys) {
      const band = usual(days.map((day) => day.get(key) ?? []));
      if (band) bands.set(key, band);
    }
    this.bands = bands;
    this.known = true;
  }
}

export const usuals = new Usuals();
