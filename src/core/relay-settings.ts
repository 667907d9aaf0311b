/** What both ends of the relay between a host and a bundle begin their HTTP/2 session with. */
export const RELAY_SETTINGS = {
  /** Bytes under way, of a connection and of all together: a slow reader holds no more of its own. */
  initialWindowSize: 1024 * 1024,
  enablePush: false,
} as const;

/** MB: beyond it Node refuses new connections (10 unless said otherwise); a window of each of a thousand. */
export const RELAY_MEMORY = 1000;
