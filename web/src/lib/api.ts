// The server's API: JSON in and out, errors as what they say of themselves.

/** An error with its reason, and what to do about it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly fix: string | null = null,
    /** Seconds to wait before another attempt. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

type Watcher = (problem: Problem) => void;
let unauthorized: Watcher = () => {};

/** Who is told when the server knows nobody any more. */
export function onUnauthorized(watcher: Watcher): void {
  unauthorized = watcher;
}

export async function ask<T>(path: string, init: { method?: string; body?: unknown; signal?: AbortSignal } = {}): Promise<T> {
  const { method = 'GET', body, signal } = init;
  let response: Response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      signal: signal ?? null,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, 'unreachable', 'the server does not answer');
  }
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  const answer: unknown = parse(text);
  if (response.ok && answer !== undefined) return answer as T;
  const said = (answer ?? {}) as { code?: string; detail?: string; fix?: string };
  const problem = new Problem(
    response.status,
    said.code ?? 'unexpected',
    said.detail ?? `the server answered ${response.status}`,
    said.fix ?? null,
    Number(response.headers.get('retry-after')) || null,
  );
  if (response.status === 401 && problem.code !== 'wrong-credentials') unauthorized(problem);
  throw problem;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A query string; lists repeat their name. */
export function query(parameters: Record<string, string | number | readonly string[] | undefined>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) continue;
    if (typeof value === 'object') for (const one of value) search.append(name, one);
    else search.append(name, String(value));
  }
  return search.toString();
}

/** The browser's time zone, in which days begin. */
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
