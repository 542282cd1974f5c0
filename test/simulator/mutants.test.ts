/** Planted defects are texts in compiled files: each can be planted, so that `npm run sim:mutants` says something about it. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { repositoryRoot } from '../protocol/repository-root.ts'
import { SIM_MUTANTS } from './mutants.ts'

for (const { name, patches } of SIM_MUTANTS) {
  t.test(name, (t) => {
    for (const [file, replacements] of Object.entries(patches)) {
      let text = readFileSync(join(repositoryRoot, 'dist', file), 'utf8')
      for (const [from, to] of replacements) {
        const parts = text.split(from)
        t.equal(parts.length - 1, 1, `${file} has it once: ${from}`)
        text = parts.join(to)
      }
    }
    t.end()
  })
}
