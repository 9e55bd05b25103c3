// The program. Signal handlers are installed first: loading the rest takes up to a second, in which signals may arrive.
import './bin/signals.js';

await import('./bin/serve.js');
