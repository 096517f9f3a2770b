"""The training panel's picture, measured in Chromium without a notebook around it."""

import pytest

from cnnlab.lessons import train as lesson

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [930, 520])
@pytest.mark.parametrize("optimizer", ["gradient descent", "momentum", "Adam"])
def test_the_height_stays_when_the_first_steps_are_made(browser, optimizer, width):
    """In a wide and in a narrow column: what is below does not jump away."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    panel, heights = lesson.train(optimizer=optimizer), set()
    for _ in range(4):
        page.set_content(f'<div style="container-type:inline-size;width:{width}px"><style>{lesson.Run.style}</style>{panel.html}</div>')
        heights.add(page.locator(".halves").bounding_box()["height"])
        panel.press("one")
    page.close()
    assert len(heights) == 1
