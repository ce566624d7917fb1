"""The tables of ``docs/performance.md``, a module each: ``table()`` measures one."""
