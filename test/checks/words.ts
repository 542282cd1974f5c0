/**
 * The glossary's enemies: words that other systems use for what has a name of its own here (DESIGN 1, STYLE A.11).
 *
 * Found as whole words in sources and docs, inside camelCase and kebab-case names too. Decision records may quote them.
 */
import type { Finding, SourceFile } from './source-files.ts'

/** word or two words -> what to say instead */
export const FORBIDDEN: Readonly<Record<string, string>> = {
  slave: 'replica',
  slaves: 'replicas',
  follower: 'replica',
  followers: 'replicas',
  leader: 'master',
  leaders: 'masters',
  lsn: 'position',
  lsns: 'positions',
  'commit index': 'STORED or PROPAGATED',
  'commit indexes': 'STORED or PROPAGATED',
  'flush position': 'STORED, or the durable position of a channel',
  'flush positions': 'STORED, or the durable positions of channels',
  'flushed position': 'STORED, or the durable position of a channel',
  'committed position': 'STORED or PROPAGATED, or the durable position of a channel',
}

/** Most lines have none of these letters in a row, and need not be taken apart. */
const SUSPECT = new RegExp(Object.keys(FORBIDDEN).join('|').replace(/ \w+/g, ''), 'i')

export function checkWords(files: readonly SourceFile[]): Finding[] {
  return files.flatMap((file) =>
    file.text.split('\n').flatMap((text, index) =>
      (SUSPECT.test(text) ? forbiddenIn(text) : []).map(([word, instead]) => ({
        path: file.path,
        line: index + 1,
        what: `found the word '${word}', expected ${instead}`,
      })),
    ),
  )
}

function forbiddenIn(line: string): [string, string][] {
  const words = wordsOf(line)
  const pairs = words.flatMap((word, i) => (i === 0 ? [] : [`${words[i - 1]} ${word}`]))
  return [...words, ...pairs].flatMap((word) => {
    const instead = Object.hasOwn(FORBIDDEN, word) ? FORBIDDEN[word] : undefined
    return instead === undefined ? [] : [[word, instead]]
  })
}

/** `flushPosition`, `FLUSH_POSITION`, `flush-position` and `Flush position` are the same two words. */
function wordsOf(line: string): string[] {
  const split = line.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
  return (split.match(/[A-Za-z]+/g) ?? []).map((word) => word.toLowerCase())
}
