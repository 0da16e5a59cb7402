// What every test of the page asks of it: no error on the console, nothing against its policy.

import { expect, test as base, type Page } from '@playwright/test';
import { Server } from './server';

export { expect, Server };

export interface Watched {
  /** What went wrong, so far. */
  troubles: string[];
}

/** Notes errors of a page and breaches of its policy. */
export async function watch(page: Page): Promise<string[]> {
  const troubles: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') troubles.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => troubles.push(`exception: ${error.message}`));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  return troubles;
}

export const test = base.extend<{ troubles: string[] }>({
  troubles: [
    async ({ page }, use) => {
      const troubles = await watch(page);
      await use(troubles);
      expect(troubles).toEqual([]);
    },
    { auto: true },
  ],
});

/** Waits for the first sample. */
export async function live(page: Page): Promise<void> {
  await expect(page.getByTestId('status')).toHaveText('Live', { timeout: 15_000 });
}

/** The chart of a metric. */
export function chart(page: Page, id: string) {
  return page.locator(`figure[data-pick="${id}"]`).first();
}
