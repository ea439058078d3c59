/** `bursar config`: what is set, what is a default, what each setting is for. */
import type { Command } from 'commander'

export function declare(command: Command): void {
  command
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nSecrets are masked.\nExample:\n  PORT=8080 bursar config')
    .action(async ({ json }: { json?: boolean }) => {
      const [{ describeSettings }, { print, table }] = await Promise.all([
        import('../settings.ts'),
        import('./output.ts'),
      ])
      const settings = describeSettings(process.env)
      print(json, { settings }, () =>
        table(
          ['setting', 'value', '', 'what it is'],
          settings.map(({ name, value, is_default, about }) => [
            name,
            value,
            is_default ? 'default' : 'set',
            about,
          ]),
        ),
      )
    })
}
