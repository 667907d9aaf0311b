/** How tables look: columns apart by two blanks, no lines, no colours of the table's own. */
const NONE = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

export const BORDERLESS = { chars: NONE, style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 } };
