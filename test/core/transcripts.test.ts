/** Every transcript of the core says today what it said when it was committed; and the runner itself can fail. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { repositoryRoot } from '../protocol/repository-root.ts'
import { CoreDriver } from './core-driver.ts'
import { Arguments, checkTranscript, type Driver, runTranscript } from './transcript.ts'

const directory = join(repositoryRoot, 'test', 'transcripts')
const names = readdirSync(directory).filter((name) => name.endsWith('.txt'))

t.test('there are transcripts', async (t) => t.ok(names.length >= 10))
for (const name of names) {
  t.test(name, async (t) => {
    const { found, wanted } = checkTranscript(join(directory, name), new CoreDriver())
    t.equal(found, wanted)
  })
}

t.test('a transcript with a wrong recording is found out', async (t) => {
  const echo: Driver = { command: (name, args) => [`${name} ${args.word()}`] }
  t.equal(runTranscript('# why\nsay a\nsay b\n----\nsay a\n', echo), '# why\nsay a\nsay b\n----\nsay a\nsay b\n')
  t.equal(runTranscript('say a\n', echo), 'say a\n----\nsay a\n', 'what was never recorded is added')
  t.equal(runTranscript('# a page of words\n\n\n\nsay a\n', echo), '# a page of words\n\nsay a\n----\nsay a\n')
})

t.test('a word or an option that nobody uses is an error', async (t) => {
  const silent: Driver = { command: () => [] }
  t.throws(() => runTranscript('say a\n', silent), { message: 'the command "say a" failed' })
  t.throws(() => runTranscript('say key=a\n', silent), { message: 'the command "say key=a" failed' })
  t.throws(() => new Arguments([]).word(), { message: 'one more word is needed' })
})
