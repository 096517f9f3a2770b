"""What all lessons of the suite share: the style sheet of their pictures."""

from .. import panel
from ..show.page import style


class Lesson(panel.Lesson):
    """A lesson whose pictures are those of `cnnlab.show`."""

    style = style()
