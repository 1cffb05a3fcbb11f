export const peers = [];
