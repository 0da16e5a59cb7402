// The part of a snapshot that is not in the catalog: whose it is, and how its sections came about.

import { own } from './catalog';
import type { Part, Section, Snapshot } from './schema';

export type { Part, Section, Snapshot };

/** Why something is not there. */
export type Missing = Omit<Part, 'reason'> & { reason: string | null };

/** Why a metric has no value: of the part that it is in, else of its section. Null when nothing is said. */
export function whyMissing(snapshot: Snapshot | null, id: string): Missing | null {
  const [name = '', ...rest] = id.split('.');
  const section = own(snapshot?.status, name) as Section | undefined;
  if (!section) return null;
  const path = rest.join('.');
  for (const [part, why] of Object.entries(section.parts)) {
    if (part === path || path.startsWith(part + '.')) return why;
  }
  return section.state === 'ok' ? null : section;
}

/** A snapshot in which a section that is not collected at every tick stands as it was when it last was. */
export function standing(snapshot: Snapshot, before: Snapshot | null): Snapshot {
  const paced = Object.entries(snapshot.status).filter(([, section]) => section.state === 'paced').map(([name]) => name);
  if (paced.length === 0 || !before) return snapshot;
  const kept = (from: object) => Object.fromEntries(paced.flatMap((name) => (Object.hasOwn(from, name) ? [[name, own(from, name)]] : [])));
  return { ...snapshot, ...kept(before), status: { ...snapshot.status, ...(kept(before.status) as Snapshot['status']) } };
}
