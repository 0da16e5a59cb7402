// The part of a snapshot that is not in the catalog: whose it is, and how its sections came about.

import { own } from './catalog';

export type State = 'ok' | 'failed' | 'unavailable' | 'late' | 'disabled';

export interface Part {
  state: State;
  reason: string | null;
  fix: string | null;
  since: string;
}

export interface Section extends Part {
  duration_ms: number | null;
  elapsed_ms: number | null;
  truncated: boolean;
  parts: Record<string, Part>;
}

export interface Snapshot {
  timestamp: string;
  tick: number;
  interval_ms: number;
  lateness_ms: number;
  host: { hostname: string | null; kernel: string | null };
  status: Record<string, Section>;
}

/** Why a metric has no value: of the part that it is in, else of its section. Null when nothing is said. */
export function whyMissing(snapshot: Snapshot | null, id: string): Part | null {
  const [name = '', ...rest] = id.split('.');
  const section = own(snapshot?.status, name) as Section | undefined;
  if (!section) return null;
  const path = rest.join('.');
  for (const [part, why] of Object.entries(section.parts)) {
    if (part === path || path.startsWith(part + '.')) return why;
  }
  return section.state === 'ok' ? null : section;
}
