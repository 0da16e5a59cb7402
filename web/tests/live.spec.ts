// Live values: from the kernel to the tooltip, and over an outage.

import { readFileSync } from 'node:fs';
import { chart, expect, live, Server, test } from './page';

let server: Server;
test.beforeEach(async () => {
  server = new Server();
  await server.start();
});
test.afterEach(() => server.end());

test('a value is the same in the kernel, in the API and in the tooltip', async ({ page }) => {
  const kernel = Number(/^MemTotal:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024;
  const { memory } = await server.get<{ memory: { total_bytes: number } }>('snapshot');
  expect(memory.total_bytes).toBe(kernel);
  await page.goto(`${server.url}/explore?select=memory.total_bytes`);
  await live(page);
  const plot = chart(page, 'memory.total_bytes').locator('.u-over');
  await expect(plot).toBeVisible();
  // At the right edge, where the newest sample is.
  const box = (await plot.boundingBox())!;
  await page.mouse.move(box.x + box.width - 2, box.y + box.height / 2);
  const shown = `${(kernel / 2 ** 30).toFixed(kernel / 2 ** 30 >= 9.995 ? 1 : 2)}\u00a0GiB`;
  await expect(page.locator('.tip b')).toHaveText(shown);
  // With the keyboard alone, and as a table.
  await page.mouse.move(0, 0);
  await page.getByRole('application').first().focus();
  await page.keyboard.press('ArrowLeft');
  await expect(page.locator('.tip b')).toHaveText(shown);
  await page.keyboard.press('t');
  await expect(page.getByRole('region', { name: /Total memory/ }).getByRole('cell', { name: shown.replace('\u00a0', ' ') }).first()).toBeVisible();
});

test('a row of the table is what the API says of that moment', async ({ page }) => {
  await page.goto(`${server.url}/explore?select=memory.usage_percent`);
  await live(page);
  await page.keyboard.press('Space');
  await expect(page.getByTestId('status')).toContainText('Paused');
  await page.getByRole('button', { name: 'Memory utilisation as CSV' }).waitFor();
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Memory utilisation as CSV' }).click();
  const text = readFileSync(await (await download).path(), 'utf8');
  const address = new URL(page.url()).searchParams;
  const rows = text.trim().split('\r\n').slice(1).map((row) => row.split(',')).filter((row) => row[1] !== '');
  expect(rows.length).toBeGreaterThan(0);
  const answer = await server.get<{ t: number[]; step_ms: number; series: { avg: number[] }[] }>(`series?select=memory.usage_percent&from=${address.get('from')}&to=${address.get('to')}&points=1500`);
  // A step that was not over when the page asked has had more samples since.
  const over = (at: number) => answer.t[at]! + answer.step_ms <= Number(address.get('to'));
  for (const [time, value] of rows) {
    const at = answer.t.indexOf(Date.parse(time!));
    if (at >= 0 && over(at)) expect(Number(value)).toBe(answer.series[0]?.avg[at]);
  }
  expect(rows.some(([time]) => answer.t.includes(Date.parse(time!)))).toBe(true);
});

test('a server that was killed comes back, and what was missed is told', async ({ page, troubles }) => {
  await page.goto(`${server.url}/explore?select=cpu.usage_percent&from=now-5m`);
  await live(page);
  await expect(chart(page, 'cpu.usage_percent').locator('canvas')).toBeVisible();
  // Something must have reached the disk, which takes 5 s, or nobody knows of a time before.
  const start = (await server.get<{ tick: number }>('snapshot')).tick;
  await expect.poll(async () => (await server.get<{ tick: number }>('snapshot')).tick, { timeout: 20_000 }).toBeGreaterThan(start + 11);
  await server.kill();
  const killed = Date.now();
  await expect(page.getByTestId('status')).toContainText('Reconnecting', { timeout: 15_000 });
  await expect(page.getByText(/What is shown is .* old/)).toBeVisible();
  // Long beside any tick that a busy machine is late with: else it is no gap.
  await expect.poll(() => Date.now() - killed, { timeout: 20_000 }).toBeGreaterThan(5_000);
  await server.start();
  await expect(page.getByTestId('status')).toHaveText('Live', { timeout: 20_000 });
  // The lane of events tells of the gap, and the crosshair says why there is nothing.
  await expect(page.getByRole('listitem').filter({ hasText: 'nothing recorded for' })).toBeAttached({ timeout: 20_000 });
  await page.getByRole('application').first().focus();
  await expect(async () => {
    await page.keyboard.press('ArrowLeft');
    await expect(page.locator('.tip .reason')).toContainText('nothing recorded for', { timeout: 300 });
  }).toPass({ timeout: 20_000 });
  // The browser tells of every attempt that failed.
  expect(troubles.filter((trouble) => !trouble.includes('ERR_CONNECTION'))).toEqual([]);
  troubles.length = 0;
});

test('ticks that the page missed are filled in from history', async ({ page, troubles }) => {
  let cut = () => {};
  let refuse = false;
  await page.routeWebSocket('**/api/v1/live', (socket) => {
    if (refuse) return void socket.close({ code: 1001 });
    const upstream = socket.connectToServer();
    cut = () => { void upstream.close(); void socket.close({ code: 1001 }); };
  });
  await page.goto(`${server.url}/explore?select=cpu.usage_percent&from=now-1m`);
  await live(page);
  const rows = () => page.locator('table.data tbody tr').filter({ has: page.locator('td:first-child') });
  await page.keyboard.press('t');
  await expect.poll(async () => (await rows().count()) > 3).toBe(true);
  refuse = true;
  cut();
  await expect(page.getByTestId('status')).toContainText('Reconnecting', { timeout: 15_000 });
  const tick = async () => (await server.get<{ tick: number }>('snapshot')).tick;
  const start = await tick();
  await expect.poll(tick, { timeout: 15_000 }).toBeGreaterThan(start + 4);
  refuse = false;
  await live(page);
  // Every row half a second after the one before: none is missing.
  await expect(async () => {
    const times = await page.locator('.rows tbody td:first-child').allTextContents();
    const seconds = new Set(times.map((time) => time.slice(-8)));
    const [newest, oldest] = [times[0]!, times.at(-1)!].map((time) => Date.parse(`2026-01-01T${time.slice(-8)}Z`));
    expect(seconds.size).toBeGreaterThanOrEqual((newest! - oldest!) / 1000);
  }).toPass({ timeout: 15_000 });
  expect(troubles).toEqual([]);
});

test('the newest version of the page is asked for when the server was upgraded', async ({ page }) => {
  let etag = '"one"';
  await page.route('**/index.html', (route) => route.fulfill({ status: 200, headers: { etag } }));
  let cut = () => {};
  await page.routeWebSocket('**/api/v1/live', (socket) => {
    const upstream = socket.connectToServer();
    cut = () => { void upstream.close(); void socket.close({ code: 1001 }); };
  });
  const known = page.waitForResponse('**/index.html');
  await page.goto(server.url);
  await live(page);
  await known;
  etag = '"two"';
  cut();
  await expect(page.getByText('PerfWatch was upgraded')).toBeVisible({ timeout: 15_000 });
});
