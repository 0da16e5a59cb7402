// What is missing, told once for all that miss it for the same reason.

export interface Missing {
  state: string;
  reason?: string | null;
  fix?: string | null;
}

/** The same state, reason and remedy, and the names of all that have them, in the order in which they came. */
export interface Group extends Missing {
  names: string[];
}

/** Puts together what is missing for one reason. */
export function grouped(all: [name: string, missing: Missing][]): Group[] {
  const groups = new Map<string, Group>();
  for (const [name, { state, reason = null, fix = null }] of all) {
    const key = JSON.stringify([state, reason, fix]);
    const group = groups.get(key);
    if (group) group.names.push(name);
    else groups.set(key, { names: [name], state, reason, fix });
  }
  return [...groups.values()];
}
