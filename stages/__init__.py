"""The pipeline's stages, run as `python -m stages.<stage>`, and the rooms of code that they use.

Importing this package changes nothing in the process. Run as a program, a stage says in one line
that Ctrl-C ended it, even while its modules are being imported.
"""

import sys

if sys.argv[0] == "-m":  # only while Python looks for the module that `-m` names
    from stages.common.process import say_interrupts_in_one_line

    say_interrupts_in_one_line()
