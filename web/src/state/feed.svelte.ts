// What the charts show: the newest samples while the range ends now and is short, else answers about history. One question
// for all charts of a page, one redraw for all of them.

import { ask, Problem, query } from '../lib/api';
import type { Catalog } from '../lib/catalog';
import { fromAnswer, fromRing, rowsOf, together, type Answer, type Frame, type Pick } from '../lib/frame';
import { eventsIn, type Happening } from '../lib/events';
import { Ring } from '../lib/ring';
import { standing } from '../lib/snapshot';
import type { Range } from '../lib/when';
import type { Snapshot, Status } from '../lib/schema';
import { route } from './route.svelte';

/** Samples that are kept here: a quarter of an hour at the shortest interval. A longer range is asked for in steps. */
const CAPACITY = 1_800;

/** Questions are not asked more often than this, whatever is shown. */
const PATIENCE_MS = 5_000;

/** Events are asked for again this often while they may come. */
const EVENTS_MS = 15_000;

/** Durations of redraws that are kept for whoever measures. */
const KEPT_MEASURES = 500;

class Feed {
  catalog = $state.raw<Catalog | null>(null);
  /** The newest snapshot, whatever range is looked at. */
  snapshot = $state.raw<Snapshot | null>(null);
  intervalMs = $state(5_000);
  problem = $state.raw<Problem | null>(null);
  warnings = $state.raw<string[]>([]);
  loading = $state(false);
  /** True when the server would not answer as finely as asked. */
  coarser = $state(false);
  events = $state.raw<Happening[]>([]);
  /** How long there have been samples, as far as this page knows. */
  oldest = $state<number | null>(null);
  /** When history begins, and why it is not written. */
  store = $state.raw<Status['store'] | null>(null);
  /** Goes up whenever there is something new to be drawn. */
  version = $state(0);

  private ring = new Ring(CAPACITY);
  private filled = new Map<string, number>();
  private answer: { answer: Answer; range: Range; at: number } | null = null;
  private wanted = new Map<object, { ids: readonly string[]; width: number }>();
  private listeners = new Set<() => void>();
  private scheduled = false;
  private asking: { key: string; abort: AbortController } | null = null;
  private eventsAt = 0;
  private eventsKey = '';
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** In how many pieces the metrics of a page had to be asked for. */
  private pieces = new Map<string, number>();

  /** Whether the newest samples are what is shown. */
  get fromRing(): boolean {
    return route.live && (route.range.to - route.range.from) / this.intervalMs <= CAPACITY;
  }

  /** Takes a snapshot as it was made. */
  take(snapshot: Snapshot): void {
    if (snapshot.interval_ms !== this.intervalMs) {
      this.intervalMs = snapshot.interval_ms;
      this.ring = new Ring(CAPACITY);
      this.filled.clear();
    }
    this.snapshot = standing(snapshot, this.snapshot);
    const catalog = this.catalog;
    if (!catalog) return;
    this.ring.push(Date.parse(snapshot.timestamp), (put) => catalog.visit(snapshot, put));
    this.moved();
  }

  /** The range or the time has changed, or what is wanted. */
  moved(): void {
    if (route.live) route.now = this.ring.newest ?? Date.now();
    this.redraw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ensure(), 0);
  }

  /** Samples may have been missed: what is kept is compared with the server's history again. */
  mayHaveMissed(): void {
    this.filled.clear();
    this.answer = null;
    this.eventsAt = 0;
    this.moved();
  }

  /** Says what a chart shows, until the returned function is called. */
  want(ids: readonly string[], width: number): () => void {
    const token = {};
    this.wanted.set(token, { ids, width });
    this.moved();
    return () => this.wanted.delete(token);
  }

  /** Calls back at every redraw, until the returned function is called. */
  listen(draw: () => void): () => void {
    this.listeners.add(draw);
    return () => this.listeners.delete(draw);
  }

  /** What there is of some series in the range that is looked at. */
  frame(pick: Pick): Frame {
    const { from, to } = route.range;
    if (!this.catalog) return { t: [], lines: [], stepMs: this.intervalMs, resolutionMs: null, from, to };
    if (this.fromRing) return fromRing(this.ring, this.catalog, pick, from, to, this.intervalMs);
    if (!this.answer) return { t: [], lines: [], stepMs: this.intervalMs, resolutionMs: null, from, to };
    const frame = fromAnswer(this.answer.answer, this.catalog, pick, this.answer.range.from, this.answer.range.to);
    return { ...frame, from, to };
  }

  /** How long the steps are that are shown, and whether each has its least and greatest. Null before there is anything. */
  resolution(): { stepMs: number; band: boolean } | null {
    if (this.fromRing) return { stepMs: this.intervalMs, band: false };
    if (!this.answer) return null;
    const { step_ms: stepMs, resolution_ms: made } = this.answer.answer;
    return { stepMs, band: made !== null && (made < stepMs || made >= 60_000) };
  }

  /** The newest value of a series, as old as its section may be. */
  last(key: string, section = key.split('.')[0] ?? ''): number | null {
    return this.ring.last(key, this.snapshot?.status[section]?.every_ticks ?? 1);
  }

  /** The objects of a metric that were seen, newest samples only. */
  objects(id: string): string[] {
    return this.ring.series(id).map((series) => series.labels[0] ?? '');
  }

  redraw(): void {
    if (this.scheduled || document.hidden) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      performance.mark('tick-start');
      this.version += 1;
      for (const draw of this.listeners) draw();
      // The charts are painted in microtasks, before this one. What all took, and of which sample, is measured by the tests.
      queueMicrotask(() => {
        performance.measure('tick', { start: 'tick-start', detail: this.snapshot?.timestamp });
        if (performance.getEntriesByName('tick').length > KEPT_MEASURES) performance.clearMeasures('tick');
        performance.clearMarks('tick-start');
      });
    });
  }

  private async ensure(): Promise<void> {
    if (!this.catalog || document.hidden || route.wrong) return;
    void this.ensureEvents();
    const ids = [...new Set([...this.wanted.values()].flatMap((want) => want.ids))].filter((id) => this.catalog?.get(id)?.kind !== 'info' && this.catalog?.get(id));
    if (ids.length === 0) return;
    if (this.fromRing) await this.fill(ids);
    else await this.question(ids);
  }

  /** What happened before the page was opened, and while the link was lost. */
  private async fill(ids: string[]): Promise<void> {
    const { from } = route.range;
    const missing = ids.filter((id) => (this.filled.get(id) ?? Infinity) > from + this.intervalMs);
    if (missing.length === 0 || this.ring.newest === null) return;
    for (const id of missing) this.filled.set(id, from);
    const answer = await this.series(`fill ${missing.join()} ${from}`, missing, { from: Math.floor(from), to: 'now', step: `${this.intervalMs}ms` });
    if (!answer) {
      for (const id of missing) this.filled.delete(id);
      return;
    }
    if (this.catalog) this.ring.fill(rowsOf(answer, this.catalog), answer.step_ms);
    this.oldest = this.ring.oldest;
    this.redraw();
  }

  private async question(ids: string[]): Promise<void> {
    const { from, to } = route.range;
    const width = Math.max(...[...this.wanted.values()].map((want) => want.width), 100);
    const points = Math.min(Math.ceil(width / 50) * 50, 2_000);
    const step = Math.max((to - from) / points, PATIENCE_MS);
    const at = Math.floor(to / step);
    const key = `${ids.sort().join()} ${points} ${route.live ? `${to - from} ${at}` : `${from} ${to}`}`;
    if (this.asking?.key === key || this.answeredKey === key) return;
    const range = { from, to };
    let answer = await this.series(key, ids, { from: Math.floor(from), to: Math.ceil(to), points });
    if (!answer && this.problem?.code === 'too-much') {
      answer = await this.series(key, ids, { from: Math.floor(from), to: Math.ceil(to), points: Math.ceil(points / 8) });
      this.coarser = answer !== null;
    } else if (answer) this.coarser = false;
    if (!answer) return;
    this.answeredKey = key;
    this.answer = { answer, range, at: Date.now() };
    this.redraw();
  }

  private answeredKey = '';

  private async series(key: string, ids: string[], parameters: Parameters<typeof query>[0]): Promise<Answer | null> {
    this.asking?.abort.abort();
    const abort = new AbortController();
    this.asking = { key, abort };
    this.loading = true;
    try {
      const answer = await this.inPieces(ids, parameters, abort.signal);
      this.problem = null;
      this.warnings = answer.warnings;
      return answer;
    } catch (error) {
      if (!abort.signal.aborted && error instanceof Problem) this.problem = error;
      return null;
    } finally {
      if (this.asking.key === key) {
        this.asking = null;
        this.loading = false;
      }
    }
  }

  /** As one question, or as several where a host has more series than one may be about. */
  private async inPieces(ids: string[], parameters: Parameters<typeof query>[0], signal: AbortSignal): Promise<Answer> {
    const names = ids.join();
    for (let pieces = this.pieces.get(names) ?? 1; ; pieces *= 2) {
      const size = Math.ceil(ids.length / pieces);
      try {
        const answers: Answer[] = [];
        for (let at = 0; at < ids.length; at += size) answers.push(await ask<Answer>(`series?${query({ select: ids.slice(at, at + size), ...parameters })}`, { signal }));
        this.pieces.set(names, pieces);
        return together(answers);
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== 'too-much' || size === 1) throw error;
      }
    }
  }

  private async ensureEvents(): Promise<void> {
    const { from, to } = route.range;
    const key = route.live ? String(to - from) : `${from} ${to}`;
    if (key === this.eventsKey && (!route.live || Date.now() - this.eventsAt < EVENTS_MS)) return;
    [this.eventsKey, this.eventsAt] = [key, Date.now()];
    try {
      const answer = await ask<{ events: unknown }>(`events?${query({ from: Math.floor(from), to: route.live ? 'now' : Math.ceil(to) })}`);
      this.events = eventsIn(answer.events);
      this.store = (await ask<Status>('status')).store;
      this.redraw();
    } catch {
      // The charts say what is wrong. Asked again after a while.
    }
  }
}

export const feed = new Feed();
