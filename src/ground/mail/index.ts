/** Mail: one message to one person, over SMTP. */
export { isAddress } from './address.ts'
export { createMailer, type Mail, type Mailer, type MailerOptions, type MailOutcome } from './mailer.ts'
