// How much disk history will take, from what it has taken so far and from how long it is to be kept.

import type { Status } from './schema';

type Store = Status['store'];

const UNITS_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 365 * 86_400_000 };

/** `36h`, `30d`, `1h 30m` in milliseconds. Null for what the server may know and this page does not. */
export function milliseconds(text: string): number | null {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|[smhdwy])(?![a-z])\s*/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text.trim()) return null;
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * (UNITS_MS[unit ?? ''] ?? NaN), 0);
}

const PREFIXES = ['', 'K', 'M', 'G', 'T'];

/** `2GiB`, `500MB`, `1048576`. Null for what this page cannot read. */
export function byteCount(text: string): number | null {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*$/i.exec(text);
  if (!found) return null;
  return Number(found[1]) * (found[3] ? 1024 : 1000) ** PREFIXES.indexOf((found[2] ?? '').toUpperCase());
}

/** What is to be kept, as it is written in the settings. */
export interface Wanted {
  /** By tier: every sample, minutes, hours. */
  keep: readonly string[];
  maxBytes: string;
  /** How much further apart samples will be than they were. */
  slower: number;
}

export interface Estimate {
  /** Of each tier, once it is as old as it gets. Null where there is nothing to tell from, or the time cannot be read. */
  tiers: { name: string; bytes: number | null }[];
  /** Of all tiers that can be told. */
  bytes: number;
  limit: number | null;
  /** How far back samples go when the limit is reached before they are too old: they go first. Null when it is not. */
  rawDays: number | null;
  /** Whether the disk has less room than it would take. */
  tooLittle: boolean;
}

/** Null while there is too little history to tell from. */
export function estimate(store: Store, wanted: Wanted): Estimate | null {
  const none = wanted.keep.findIndex((keep) => milliseconds(keep) === 0);
  const tiers = store.tiers.map(({ name, bytes_per_day: perDay }, at) => {
    const keep = milliseconds(wanted.keep[at] ?? '');
    // Without a tier there are none of those that are made of it.
    if (none >= 0 && at >= none) return { name, perDay, bytes: 0 };
    const daily = perDay === null ? null : perDay / (at === 0 ? wanted.slower : 1);
    return { name, perDay: daily, bytes: daily === null || keep === null ? null : (daily * keep) / UNITS_MS.d! };
  });
  const [raw] = tiers;
  if (!raw || raw.perDay === null || raw.bytes === null) return null;
  const bytes = tiers.reduce((sum, tier) => sum + (tier.bytes ?? 0), 0);
  const limit = byteCount(wanted.maxBytes);
  const over = limit !== null && bytes > limit;
  return {
    tiers: tiers.map(({ name, bytes: each }) => ({ name, bytes: each })),
    bytes,
    limit,
    rawDays: over ? Math.max(0, (limit - (bytes - raw.bytes)) / raw.perDay) : null,
    tooLittle: (limit === null ? bytes : Math.min(bytes, limit)) > store.bytes + store.free_bytes,
  };
}
