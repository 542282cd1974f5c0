/** Temporary directories of tests: one per test, gone when it ends. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What is needed of a test: to be told when it ends. */
export interface Teardown {
  teardown(handler: () => void): unknown
}

export function temporaryDirectory(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'travertine-test-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A small file system in memory. @returns its directory, or in `reason` why there can be none here */
export function smallFileSystem(t: Teardown, bytes: number): { directory: string; reason: string } {
  const directory = temporaryDirectory(t)
  const reason = mount(['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', directory])
  // Lazily: a test that failed may have left a file open in it.
  if (reason === '') t.teardown(() => execFileSync('umount', ['-l', directory]))
  return { directory, reason }
}

/** @returns '' or why it could not be done */
export function remountReadOnly(directory: string): string {
  return mount(['-o', 'remount,ro', directory])
}

function mount(args: readonly string[]): string {
  try {
    execFileSync('mount', args, { stdio: 'pipe' })
    return ''
  } catch (thrown) {
    return `mount is not permitted here: ${String(thrown).split('\n')[0]}`
  }
}
