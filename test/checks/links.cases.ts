/** No dead links between pages; the check rejects what it must. */
import { existsSync } from 'node:fs'
import t from 'tap'
import { PROJECT } from '../project.ts'
import { checkLinks } from './links.ts'
import { readProject, show } from './source-files.ts'

t.test('links: the house', async (t) => {
  const pages = readProject(/\.md$/)
  t.ok(
    pages.some((page) => page.path === 'README.md'),
    'there was something to check',
  )
  t.strictSame(checkLinks(pages, (path) => existsSync(PROJECT + path)).map(show), [])
})

t.test('links: what it must reject and accept', async (t) => {
  const targetsOf = (path: string, text: string): string[] =>
    checkLinks([{ path, text }], (target) => target === 'docs/ERRORS.md').map(show)
  t.strictSame(targetsOf('README.md', '\nsee [errors](docs/ERRORS.md#x) and [more](docs/MORE.md)'), [
    'README.md:2 the link to docs/MORE.md leads nowhere',
  ])
  t.strictSame(
    targetsOf('docs/TESTING.md', '[a](ERRORS.md), [b](../docs/ERRORS.md), [c](#here), [d](https://x.org/)'),
    [],
  )
  t.equal(targetsOf('docs/TESTING.md', '[a](docs/ERRORS.md)').length, 1, 'relative to the page')
})
