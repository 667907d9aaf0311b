/** Said wherever a person might think otherwise. */
export const NO_PIPELOCK =
  "the allow-list proxy stands in pipelock's place: hosts are checked, contents are not scanned";
