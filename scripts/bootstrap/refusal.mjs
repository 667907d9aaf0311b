/** Something is missing and may not, or could not, be installed. Shown as the product shows its errors. */
export class Refusal extends Error {
  constructor(message, hint, code = 'TOOL_MISSING') {
    super(message);
    this.hint = hint;
    this.code = code;
  }
}
