// What stands out: the real server's word, and how any is shown.

import { AxeBuilder } from '@axe-core/playwright';
import { expect, live, Server, test } from './page';

let server: Server;
test.beforeAll(async () => {
  server = new Server();
  await server.start();
});
test.afterAll(() => server.end());

const LONG = 'Connections are refused because a server does not accept them fast enough: accept queue overflowed: 243 times, connection attempts dropped: 243; for 40 seconds, until 30 seconds ago.';
const sentence = (severity: string, text: string) => ({
  rule: 'a-rule', resource: 'network', kind: 'saturation', severity, text, since_ms: 1_795_700_000_000, object: { interface: 'eth0' },
  evidence: [
    { select: 'network.interfaces.bytes_recv_per_sec{interface="eth0"}', from_ms: 1_795_700_000_000, to_ms: 1_795_700_300_000, value: 2048, unit: 'bytes/s', usual: { low: 0, high: 1024 } },
    { select: 'network.interfaces.bytes_sent_per_sec{interface="eth0"}', from_ms: 1_795_700_000_000, to_ms: 1_795_700_300_000, value: 1024, unit: 'bytes/s', usual: null },
    { select: 'network.interfaces.packets_recv_per_sec{interface="eth0"}', from_ms: 1_795_700_000_000, to_ms: 1_795_700_300_000, value: 10, unit: 'pkts/s', usual: null },
    { select: 'memory.usage_percent', from_ms: 1_795_700_000_000, to_ms: 1_795_700_300_000, value: null, unit: '%', usual: null },
  ],
});
const verdict = (sentences: object[], calm: object = {}) => ({ at_ms: 0, window_ms: 300_000, sentences, quiet: null, unsure: null, ...calm });

test('the server says something, and the resources are told by utilisation, saturation and errors', async ({ page }) => {
  await page.goto(server.url);
  await live(page);
  await expect(page.getByTestId('calm').or(page.getByRole('region', { name: 'What stands out' }))).toBeVisible();
  const memory = page.locator('[data-tile=memory]');
  await expect(memory).toContainText('OOM kills');
  await expect(memory.locator('abbr[title=Saturation]').first()).toBeVisible();
  await expect(page.locator('[data-tile=disk]').locator('abbr[title=Utilisation]').first()).toBeVisible();
});

test('a sentence has its severity in a word and its evidence as links, the worst first and the rest on demand', async ({ page }) => {
  const sentences = [sentence('critical', LONG), sentence('warning', LONG), sentence('notice', 'Something <b>else</b>.')];
  await page.route('**/api/v1/verdict*', (route) => route.fulfill({ json: verdict(sentences) }));
  await page.goto(server.url);
  await live(page);
  const region = page.getByRole('region', { name: 'What stands out' });
  await expect(region.getByRole('listitem')).toHaveText([/Critical.*Connections are refused.*since/, /Warning/]);
  // Nothing is cut off for it, on the smallest screen that all must fit.
  expect(await page.evaluate(() => document.documentElement.scrollHeight)).toBeLessThanOrEqual(800);
  await expect.poll(() => page.locator('figure').evaluateAll((all) => all.filter((one) => one.scrollHeight > one.clientHeight + 1).map((one) => one.textContent))).toEqual([]);
  await region.getByRole('button', { name: '1 more' }).click();
  await expect(region.getByRole('listitem').nth(2)).toContainText('Something <b>else</b>.');
  // With links below each other, on a phone.
  await page.setViewportSize({ width: 360, height: 740 });
  const found = await new AxeBuilder({ page }).include('section[aria-label="What stands out"]').withTags(['wcag2a', 'wcag2aa', 'wcag22aa', 'best-practice']).analyze();
  expect(found.violations.map(({ id }) => id)).toEqual([]);
  await region.getByRole('link', { name: /^Receive rate eth0: 2.00.KiB\/s, usual 0–1.00.KiB\/s$/ }).first().click();
  await expect(page).toHaveURL(/\/explore\?.*select=network.interfaces.bytes_recv_per_sec/);
  // As much before it as it is long.
  expect(['from', 'to'].map((name) => new URL(page.url()).searchParams.get(name))).toEqual(['1795699700000', '1795700300000']);
});

test('that nothing stands out is said quietly, and nothing at all without an answer', async ({ page, troubles }) => {
  let answer = { status: 200, json: verdict([], { quiet: 'Nothing stands out in the last 5 minutes.' }) as object };
  const asked: string[] = [];
  await page.route('**/api/v1/verdict*', (route) => {
    asked.push(new URL(route.request().url()).searchParams.get('at') ?? 'now');
    return route.fulfill(answer);
  });
  await page.goto(server.url);
  await live(page);
  await expect(page.getByTestId('calm')).toHaveText('Nothing stands out in the last 5 minutes.');
  expect(asked).toEqual(['now']);
  // Of another time, the verdict of its end.
  answer = { status: 200, json: verdict([], { unsure: 'There is too little history to say.' }) };
  await page.goto(`${server.url}/?from=1795700000000&to=1795700300000`);
  await expect(page.getByTestId('calm')).toHaveText('There is too little history to say.');
  expect(asked).toEqual(['now', '1795700300000']);
  answer = { status: 503, json: { code: 'busy', detail: 'too many questions' } };
  await page.goto(server.url);
  await live(page);
  await expect.poll(() => asked.length).toBe(3);
  await expect(page.getByTestId('calm')).toHaveCount(0);
  expect(troubles.filter((trouble) => !trouble.includes('503'))).toEqual([]);
  troubles.length = 0;
});
