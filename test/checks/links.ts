/** Links between the project's pages lead to files that exist; links to the web are not followed. */
import { posix } from 'node:path'
import type { Finding, SourceFile } from './source-files.ts'

const LINK = /\[[^\]]*\]\(([^)\s]+)\)/g

/** @param exists is there a file or folder of this path, relative to the project? */
export function checkLinks(pages: readonly SourceFile[], exists: (path: string) => boolean): Finding[] {
  return pages.flatMap((page) =>
    page.text.split('\n').flatMap((text, index) =>
      [...text.matchAll(LINK)].flatMap(([, target = '']) => {
        const path = posix.join(posix.dirname(page.path), target.replace(/#.*$/, ''))
        const fine = /^(https?:|mailto:|#)/.test(target) || exists(path)
        return fine ? [] : [{ path: page.path, line: index + 1, what: `the link to ${target} leads nowhere` }]
      }),
    ),
  )
}
