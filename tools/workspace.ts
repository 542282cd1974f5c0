/**
 * Where `travertine up` puts its nodes: a directory that the user names, which stays, or a temporary one, which does not.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { TravertineError } from '../protocol/errors.ts'
import { diskError } from '../wal/disk-error.ts'

export interface Workspace {
  readonly directory: string
  readonly isTemporary: boolean
  /** Removes a temporary directory, and nothing else. */
  remove(): void
}

/** @throws DIRECTORY_NOT_EMPTY, DIRECTORY_READ_ONLY, DIRECTORY_MISSING, DISK_FULL */
export function openWorkspace(wanted: string | undefined): Workspace {
  const parent = wanted === undefined ? tmpdir() : resolve(wanted)
  try {
    if (wanted === undefined) return temporary(mkdtempSync(join(parent, 'travertine-up-')))
    mkdirSync(parent, { recursive: true })
    if (readdirSync(parent).length === 0) return { directory: parent, isTemporary: false, remove: () => undefined }
  } catch (thrown) {
    throw diskError(thrown, { action: 'make a directory', expected: 'a place for two nodes', where: { file: parent } })
  }
  const isPair = existsSync(join(parent, 'master', 'manifest')) && existsSync(join(parent, 'replica', 'manifest'))
  throw new TravertineError(
    'DIRECTORY_NOT_EMPTY',
    `Cannot start a new pair: found files in ${parent}, expected an empty directory or none`,
    {
      where: { file: parent },
      hint: isPair
        ? `a pair was made here before; run its nodes: travertine run ${join(parent, 'replica')}, and master likewise, each with its --port`
        : 'choose another directory',
    },
  )
}

function temporary(directory: string): Workspace {
  // a node that was killed a moment ago may still be making a file
  const remove = (): void => rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 })
  return { directory, isTemporary: true, remove }
}
