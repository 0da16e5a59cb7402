// Who looks: nobody yet, somebody, or everybody where no password is asked for.

import { ask, onUnauthorized, Problem } from '../lib/api';
import type { Session } from '../lib/schema';

type Phase = 'asking' | 'in' | 'login' | 'setup' | 'unreachable';

class Sessions {
  phase = $state<Phase>('asking');
  who = $state.raw<Session | null>(null);
  problem = $state.raw<Problem | null>(null);

  async begin(): Promise<void> {
    onUnauthorized((problem) => this.out(problem));
    try {
      this.in(await ask<Session>('session'));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 401) return;
      this.problem = error;
      this.phase = 'unreachable';
      setTimeout(() => void this.begin(), 2_000);
    }
  }

  in(who: Session): void {
    this.who = who;
    this.problem = null;
    this.phase = 'in';
  }

  out(problem: Problem): void {
    this.who = null;
    this.phase = problem.code === 'setup-needed' ? 'setup' : 'login';
  }

  async login(user: string, password: string): Promise<void> {
    this.in(await ask<Session>('session', { method: 'POST', body: { user, password } }));
  }

  async setup(token: string, user: string, password: string): Promise<void> {
    this.in(await ask<Session>('setup', { method: 'POST', body: { token, user, password } }));
  }

  async logout(): Promise<void> {
    await ask<void>('session', { method: 'DELETE' });
    this.who = null;
    this.phase = 'login';
  }
}

export const sessions = new Sessions();
