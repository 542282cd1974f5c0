/** One scrape of a node, as numbers: an independent reader of the text form, for tests. */

export class Scrape {
  readonly text: string
  readonly #samples = new Map<string, number>()

  constructor(text: string) {
    this.text = text
    for (const line of text.split('\n')) {
      const match = /^([a-z_A-Z0-9]+)(?:\{(.*)\})? (\S+)$/.exec(line)
      if (match === null) continue
      const [, name = '', labels = '', value = ''] = match
      const key = `${name}{${labels.split(',').sort().join(',')}}`
      if (this.#samples.has(key)) throw new Error(`${key} stands there twice`)
      this.#samples.set(key, value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value))
    }
  }

  /** @throws if there is no such sample */
  value(name: string, labels: Readonly<Record<string, string | number>> = {}): number {
    const text = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
    const found = this.#samples.get(`${name}{${text.sort().join(',')}}`)
    if (found === undefined) throw new Error(`there is no ${name} with ${text.join(', ')}`)
    return found
  }

  names(): Set<string> {
    return new Set([...this.#samples.keys()].map((key) => key.slice(0, key.indexOf('{'))))
  }
}

export async function scrape(port: number): Promise<Scrape> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`)
  return new Scrape(await response.text())
}
