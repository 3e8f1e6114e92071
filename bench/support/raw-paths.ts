/** Answers each request with the same bytes. */
export const RAW_UNARY = '/raw.Raw/Unary';
/** Sends back what comes. */
export const RAW_ECHO = '/raw.Raw/Echo';
