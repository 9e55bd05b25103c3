// The program. Loading the rest takes a second on a busy machine, in which signals may come.
import './signals.js';

await import('./broker.js');
