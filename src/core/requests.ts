/** What an agent asks of the operator through supervise, and what became of it. */

/** As the agent asked; text is the agent's own: data, capped, never markup. */
export type Ask =
  | {
      kind: 'egress-route';
      /** Canonical host, `host` or `host:port`. */
      host: string;
      /** Upper case; empty: any. */
      methods: string[];
      /** Starts with a slash; null: any path. */
      pathPrefix: string | null;
      reason: string;
    }
  | { kind: 'question'; question: string; options: string[] };

/** What supervise tells the host of a new request: one line of its log, `request <JSON>`. */
export interface AskedRequest {
  /** Derived from what is asked, so that the same question has the same id. */
  id: string;
  ask: Ask;
  /** ISO 8601. */
  askedAt: string;
}

export type RequestState = 'pending' | 'approved' | 'denied' | 'expired';

/** One entry of the status document's `requests`. */
export interface RequestView extends AskedRequest {
  state: RequestState;
  /** ISO 8601; null while pending. */
  decidedAt: string | null;
  /** The operator's words; null for none. */
  note: string | null;
  /** ISO 8601, when a grant ends; null: with the bottle. */
  expiresAt: string | null;
  /** The operator said that the host may be at a private address. */
  private: boolean;
}

/** An approved route, as the agent asked for it. */
export interface Grant {
  host: string;
  methods: string[];
  pathPrefix: string | null;
  expiresAt: string | null;
  private: boolean;
}

/** What is granted now. */
export function grantsOf(requests: readonly RequestView[]): Grant[] {
  return requests.flatMap(({ state, ask, expiresAt, private: mayBePrivate }) => {
    if (state !== 'approved' || ask.kind !== 'egress-route') return [];
    const { host, methods, pathPrefix } = ask;
    return [{ host, methods, pathPrefix, expiresAt, private: mayBePrivate }];
  });
}

/** Whether it was granted once and is no more. */
export const hasEnded = ({ state }: RequestView): boolean => state === 'expired';
