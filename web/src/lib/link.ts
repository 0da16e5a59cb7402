// The link to the server: when to try again, and what to call the state it is in.

export type Link = 'connecting' | 'live' | 'reconnecting' | 'stale' | 'offline';

/** What is known of the link. */
export interface Facts {
  online: boolean;
  open: boolean;
  /** When the last frame came, or the link was lost. Null before the first frame. */
  lastFrame: number | null;
  lostAt: number | null;
  intervalMs: number;
}

/** A link that is back within this time was never lost, for whoever looks. */
export const UNNOTICED_MS = 2_500;

/** Ticks that may be late before what is shown is called stale. */
const LATE_TICKS = 3;

export function link(facts: Facts, now: number): Link {
  if (facts.lastFrame === null) return facts.online || facts.open ? 'connecting' : 'offline';
  if (!facts.open) {
    if (facts.lostAt !== null && now - facts.lostAt < UNNOTICED_MS) return 'live';
    return facts.online ? 'reconnecting' : 'offline';
  }
  return now - facts.lastFrame > facts.intervalMs * LATE_TICKS + 1_000 ? 'stale' : 'live';
}

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;

/** The pause before an attempt; `chance` from 0 to 1 keeps many pages from coming at once. */
export function pause(attempt: number, chance: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** attempt, LONGEST_PAUSE_MS) * (0.75 + chance / 2);
}
