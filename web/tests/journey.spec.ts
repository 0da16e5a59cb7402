// What a person does with the page, from the first link to the last log out.

import { expect, live, Server, test } from './page';
import { week } from './history';

test.describe.configure({ mode: 'serial' });

let server: Server;
const PASSWORD = 'a long enough password';
const OTHER = 'another long password';

test.beforeAll(async () => {
  // The interval is not given, or it could not be changed.
  server = new Server({ auth: true, interval: null });
  server.import(week(Date.now()));
  await server.start();
});
test.afterAll(() => server.end());

test('nobody is let in before there is a user, and the link makes the first', async ({ page, troubles }) => {
  await page.goto(server.url);
  await expect(page.getByRole('heading', { name: 'Set up PerfWatch' })).toBeVisible();
  await page.goto(server.setupLink().replace(/^https?:\/\/[^/]+/, server.url));
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByLabel('Once more').fill('something else');
  await page.getByRole('button', { name: 'Set up' }).click();
  await expect(page.getByRole('alert')).toHaveText('the two passwords differ');
  await page.getByLabel('Once more').fill(PASSWORD);
  await page.getByRole('button', { name: 'Set up' }).click();
  await live(page);
  expect(page.url()).toBe(`${server.url}/`);
  // The browser says on its console that it was not let in, as it was not.
  expect(troubles.filter((trouble) => !trouble.includes('401'))).toEqual([]);
  troubles.length = 0;
});

async function login(page: import('@playwright/test').Page, password: string): Promise<void> {
  await page.getByLabel('User').fill('admin');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
}

/** What the browser itself says of an answer that was refused, as it should be. */
function forget(troubles: string[], status: number): void {
  expect(troubles.filter((trouble) => !trouble.includes(String(status)))).toEqual([]);
  troubles.length = 0;
}

test('log in, live, pause, zoom, past, compare, settings, password, log out, deep link', async ({ page, troubles }) => {
  test.setTimeout(120_000);
  await page.goto(server.url);
  await login(page, 'not the password');
  await expect(page.getByRole('alert')).not.toBeEmpty();
  forget(troubles, 401);
  await login(page, PASSWORD);
  await live(page);

  // Live: a value changes by itself, and the usual of this hour stands beside it.
  const tiles = page.getByRole('region', { name: 'Resources' });
  const first = await tiles.innerText();
  await expect.poll(() => tiles.innerText(), { timeout: 15_000 }).not.toBe(first);
  await expect(page.locator('[data-tile=cpu]')).toContainText(/usual (\d+–\d+ h: )?[\d.]+–[\d.]+\s%/);

  // Paused, nothing moves; the link says what is looked at.
  await page.keyboard.press('Space');
  await expect(page.getByTestId('status')).toContainText('Paused at');
  expect(page.url()).toMatch(/from=\d+&to=\d+/);
  await page.keyboard.press('Space');
  await live(page);
  expect(page.url()).not.toContain('from=');

  // A longer range comes from history, in steps with a band.
  await page.getByRole('button', { name: 'Time range' }).click();
  await page.getByRole('button', { name: '6 hours' }).click();
  await expect(page.getByText(/steps, least to greatest shown/)).toBeVisible();

  // Zoomed by dragging, and back.
  const plot = page.locator('figure[data-pick="cpu.user"] .u-over');
  const box = (await plot.boundingBox())!;
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40, { steps: 5 });
  await page.mouse.up();
  await expect(page.getByTestId('status')).toContainText('Past');
  const [from, to] = ['from', 'to'].map((name) => Number(new URL(page.url()).searchParams.get(name)));
  expect((to! - from!) / 3_600_000).toBeGreaterThan(1.5);
  expect((to! - from!) / 3_600_000).toBeLessThan(2.1);
  await page.keyboard.press('Backspace');
  await live(page);

  // To a time in the past, as a person writes it.
  await page.keyboard.press('g');
  await page.keyboard.type('yesterday');
  await page.keyboard.press('Enter');
  await expect(page.getByTestId('status')).toContainText('Past');
  await expect(page.getByRole('button', { name: 'Time range: Yesterday' })).toBeVisible();
  await page.keyboard.press('g');
  await page.keyboard.type('the day before');
  await page.keyboard.press('Enter');
  await expect(page.locator('#range-wrong')).toContainText('is no point in time');
  await page.keyboard.press('Escape');
  await page.keyboard.press('.');
  await live(page);

  // Compared with yesterday: both lines, their difference, the same numbers as the API's.
  await page.goto(`${server.url}/compare?from=now-1h&select=memory.usage_percent`);
  const pair = page.locator('[data-compared="memory.usage_percent"]');
  await expect(pair.getByRole('table')).toContainText('Coverage');
  await expect(pair.locator('canvas')).toHaveCount(2);
  await expect(pair.getByRole('row', { name: /Mean/ })).toContainText('%');
  await expect(pair).not.toContainText('Nothing to compare with');
  await page.getByRole('button', { name: 'a week before' }).click();
  await expect(page).toHaveURL(/vs=-7d/);
  await expect(pair).not.toContainText('Nothing to compare with');

  // What history will take, while it is decided on.
  await page.getByRole('link', { name: 'Settings' }).click();
  const estimate = page.getByTestId('estimate');
  await expect(estimate).toContainText('With these settings history will take');
  const before = await estimate.innerText();
  await page.getByLabel('storage.keep_raw').fill('3d');
  await expect(estimate).not.toHaveText(before);
  await page.getByLabel('storage.max_bytes').fill('1MiB');
  await expect(estimate).toContainText('samples then go back');
  await page.getByRole('button', { name: 'Discard' }).click();
  await expect(estimate).toHaveText(before);

  // A setting that applies now.
  await page.getByLabel('interval', { exact: true }).fill('500ms');
  await page.getByRole('button', { name: 'Save 1 change' }).click();
  await expect(page.getByText('Saved.')).toBeVisible();
  await page.goto(server.url);
  await expect(page.getByText('every 500 ms')).toBeVisible({ timeout: 15_000 });

  // A token is shown once; another password.
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByLabel('Name of the program').fill('a script');
  await page.getByRole('button', { name: 'Make a token' }).click();
  const token = await page.getByTestId('token').textContent();
  expect((await fetch(`${server.url}/api/v1/snapshot`, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  await page.getByRole('button', { name: 'Remove the token a script' }).click();
  await expect(page.getByRole('cell', { name: 'a script' })).toHaveCount(0);
  await page.getByLabel('Current password').fill(PASSWORD);
  await page.getByLabel('New password').fill(OTHER);
  await page.getByRole('button', { name: 'Change password' }).click();
  await expect(page.getByText('The password is changed')).toBeVisible();

  // Out, and in again at the page that the link is of.
  await page.getByRole('button', { name: 'Log out admin' }).click();
  await expect(page.getByRole('button', { name: 'Log in' })).toBeVisible();
  await page.goto(`${server.url}/explore?select=memory.used_bytes&from=now-30m`);
  await login(page, OTHER);
  await live(page);
  await expect(page.getByRole('heading', { name: 'Used memory' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Time range: now-30m to now' })).toBeVisible();
  forget(troubles, 401);
});
