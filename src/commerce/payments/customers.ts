/** Customers: whom the account charges. A deleted one keeps its id, which payments name, and nothing personal. */
import { z } from 'zod'
import { violatedConstraint } from '#db'
import { type Cause, emit, eventOf, type Subject } from '#events'
import {
  endpoint,
  type Endpoint,
  id,
  listOf,
  listParams,
  metadata,
  nullable,
  object,
  text,
  timestamp,
} from '#http'
import { ApiError, newId } from '#kernel'
import { changedFrom, mergeMetadata, metadataChange } from './changes.ts'
import { customerColumns } from './columns.ts'
import { findCustomer } from './lookups.ts'
import type { CustomerRow } from './rows.ts'
