/** IDs that support asks for. What this tab has met last is listed under Help, ready to copy. */

const KEY = 'tollgate.references';

/** @param {'Checkout session'|'Request'} name */
export function noteReference(name, id) {
  if (id) sessionStorage.setItem(KEY, JSON.stringify({ ...references(), [name]: id }));
}

/** @returns {Record<string, string>} */
export function references() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

/** They belong to the account that is signed in. */
export const forgetReferences = () => sessionStorage.removeItem(KEY);
