// The program. Loading the rest takes a second on a busy machine, in which signals may come.
import './bin/signals.js';

await import('./bin/serve.js');
