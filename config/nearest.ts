/** The name that somebody may have meant, of those that exist. */

/** More than a third of the letters wrong is another word. */
const SHARE_MAX = 1 / 3

export function nearest(word: string, names: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.floor(word.length * SHARE_MAX) + 1
  for (const name of names) {
    const distance = editDistance(word.toLowerCase(), name.toLowerCase())
    if (distance < least) {
      least = distance
      best = name
    }
  }
  return best
}

/** Letters to insert, remove or replace (Levenshtein), one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const above = row
    row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1) // j is within both rows
      row.push(Math.min(above[j]! + 1, row[j - 1]! + 1, replaced))
    }
  }
  return row[b.length]! // as long as b, and one more
}
