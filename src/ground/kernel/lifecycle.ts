/**
 * A lifecycle is a table: state → action → next state; illegal moves are absences. One table per resource is the
 * source of the status type, the legal actions, the SQL CHECK, the diagram in the docs and the property test.
 */

export interface Lifecycle<State extends string, Action extends string> {
  readonly states: readonly [State, ...State[]]
  readonly actions: readonly Action[]
  readonly initial: State
  /** Where `action` leads from `state`, or undefined when it is illegal there. */
  next(state: State, action: Action): State | undefined
  /** The actions that are legal in `state`. */
  legal(state: State): readonly Action[]
  isFinal(state: State): boolean
  /** The body of the column's CHECK: `status in ('pending', …)`. A test compares it with the live constraint. */
  sqlCheck(column: string): string
  /** A Mermaid state diagram for the docs. */
  diagram(): string
}

type Table = Readonly<Record<string, Readonly<Record<string, string>>>>
type ActionOf<T extends Table> = { [S in keyof T]: keyof T[S] }[keyof T] & string

/** Builds a lifecycle from its table. The first state is the initial one; a target that is no state is an error. */
export function lifecycle<const T extends Table>(table: T): Lifecycle<keyof T & string, ActionOf<T>> {
  type State = keyof T & string
  type Action = ActionOf<T>
  const states = Object.keys(table) as [State, ...State[]]
  const actions = [...new Set(states.flatMap(state => Object.keys(table[state] ?? {})))] as Action[]
  for (const state of states) {
    for (const [action, target] of Object.entries<string>(table[state] ?? {})) {
      if (!(target in table))
        throw new Error(`lifecycle: ${state} --${action}--> ${target} leads to no state`)
    }
  }
  return {
    states,
    actions,
    initial: states[0],
    next: (state, action) => table[state]?.[action] as State | undefined,
    legal: state => Object.keys(table[state] ?? {}) as Action[],
    isFinal: state => Object.keys(table[state] ?? {}).length === 0,
    sqlCheck: column => `${column} in (${states.map(state => `'${state}'`).join(', ')})`,
    diagram() {
      const lines = states.flatMap(state =>
        Object.entries<string>(table[state] ?? {}).map(
          ([action, target]) => `  ${state} --> ${target}: ${action}`,
        ),
      )
      const ends = states.filter(state => this.isFinal(state)).map(state => `  ${state} --> [*]`)
      return ['stateDiagram-v2', `  [*] --> ${states[0]}`, ...lines, ...ends].join('\n')
    },
  }
}
