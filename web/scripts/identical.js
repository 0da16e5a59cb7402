// Fails unless the committed dist is what the sources build to. Compressed files may differ from one zlib to the next,
// so they are compared by what they hold.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { build } from 'vite';

/** The files of a directory by their path, unpacked. */
function files(root) {
  const found = new Map();
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = readFileSync(path);
    const unpacked = path.endsWith('.br') ? brotliDecompressSync(bytes) : path.endsWith('.gz') ? gunzipSync(bytes) : bytes;
    found.set(relative(root, path), unpacked);
  }
  return found;
}

const fresh = mkdtempSync(join(tmpdir(), 'perfwatch-dist-'));
try {
  await build({ logLevel: 'warn', build: { outDir: fresh, emptyOutDir: true } });
  const [committed, built] = [files('dist'), files(fresh)];
  const wrong = [];
  for (const [path, bytes] of built) if (!committed.get(path)?.equals(bytes)) wrong.push(path);
  for (const [path, bytes] of committed) {
    const raw = path.replace(/\.(br|gz)$/, '');
    if (!built.get(raw)?.equals(bytes)) wrong.push(path);
  }
  if (wrong.length > 0) {
    console.error(`dist is not what the sources build to (npm run build): ${[...new Set(wrong)].sort().join(', ')}`);
    process.exitCode = 1;
  } else {
    const scripts = [...committed].filter(([path]) => path.endsWith('.js.gz'));
    const size = scripts.reduce((sum, [path]) => sum + readFileSync(join('dist', path)).length, 0);
    console.log(`dist is what the sources build to: ${built.size} files, ${(size / 1000).toFixed(1)} kB of scripts (gzip)`);
    // What a phone on a bad connection can take, and an incident's first seconds.
    if (size > 110_000) {
      console.error('more than 110 kB of scripts');
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(fresh, { recursive: true });
}
