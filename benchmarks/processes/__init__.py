"""Measures what several processes behind one port add: answers per second, CPU time and memory."""
