"""The page at `/`, in a browser: with each modality and objective, and with what goes wrong."""

import re
import shutil
from base64 import b64decode
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import Render, inside
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from served import BUSY, KEY, KEYED, MODALITIES, OBJECTIVES, Urls, serving

from demo import post

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
expect.set_options(timeout=30_000)  # the machine may be busy
NARROW: Any = {"width": 320, "height": 640}

# What the browser does with a file that is dropped, or pasted.
SEND_FILE = """([event, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], "white.png", { type: "image/png" }));
  const kinds = { drop: DragEvent, paste: ClipboardEvent };
  const carried = { drop: { dataTransfer: files }, paste: { clipboardData: files } };
  document.dispatchEvent(new kinds[event](event, carried[event]));
}"""
WHITE_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR42mP4DwUMlDEA98A/wa9cD80A"
    "AAAASUVORK5CYII="
)
"""White, 8 x 8 pixels, in base64."""

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """Chromium, without a window."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"there is no browser; install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(served: Urls, browser: Browser) -> Generator[Open]:
    """`open_page(modality, objective)`: the page, with its form. Errors of its code fail a test."""
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            said.append(message.text)

    def opened(modality: str, objective: str = "classification", **options: Any) -> Page:
        page = browser.new_context(**options).new_page()
        page.on("console", hear)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(served[modality, objective])
        if objective != KEYED:
            expect(page.locator("#model dd").first).to_be_visible()
        return page

    yield opened
    for context in browser.contexts:
        context.close()
    assert said == []


def predict(page: Page) -> tuple[Any, Any]:
    """Return the request that the button sends, and the answer, which the page shows."""
    with page.expect_response("**/predict?confidences=true") as got:
        page.get_by_role("button", name="Predict", exact=True).click()
    request, answer = got.value.request.post_data_json, got.value.json()
    prediction = answer["prediction"]
    if isinstance(prediction, float):
        written = page.locator(".result").inner_text().replace(",", "")
        assert float(written) == pytest.approx(prediction, rel=1e-5)
    else:
        words = ", ".join(prediction) or "none" if isinstance(prediction, list) else prediction
        expect(page.locator(".result")).to_have_text(words)
    return request, answer


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("modality", MODALITIES)
def test_one_click_predicts_the_example(
    open_page: Open, served: Urls, modality: str, objective: str
) -> None:
    scheme = "dark" if objective == "regression" else "light"
    page = open_page(modality, objective, viewport=NARROW, color_scheme=scheme)
    request, answer = predict(page)
    address = f"{served[modality, objective]}/predict?confidences=true"
    assert answer == post(address, request)
    shares = sorted(answer.get("confidences", {}).items(), key=lambda pair: -pair[1])
    bars = page.get_by_role("list", name="Confidence of each label").get_by_role("listitem")
    seen = [bar.locator("span").all_inner_texts() for bar in bars.all()]
    assert seen == [[name, f"{100 * share:.1f} %"] for name, share in shares]
    assert len(shares) == {"classification": 3, "regression": 0, "multilabel": 2}[objective]
    predicted = page.locator(".bar.on span:first-child").all_inner_texts()
    assert set(predicted) == {name for name, _ in shares if name in answer["prediction"]}
    expect(page.locator("#recent button")).to_have_count(1)
    for fact in (answer["model_version"], "0" * 40, "d41d8cd9.dir"):
        expect(page.locator("#model")).to_contain_text(fact)
    expect(page.locator("#metrics div")).to_have_text(["accuracy0.8125", "loss0.53"])
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_page_predicts_behind_bentoml(
    browser: Browser, render: Render, project_env: Path
) -> None:
    project = render(serving="bentoml")
    with serving(project, "text", "classification", env=inside(project, project_env)) as [url]:
        page = browser.new_context().new_page()
        page.goto(url)
        request, answer = predict(page)
        assert answer == post(f"{url}/predict?confidences=true", request)
        expect(page.locator("#model")).to_contain_text(answer["model_version"])


def test_the_page_works_by_keyboard_alone(open_page: Open) -> None:
    page = open_page("text")
    text, recent = page.get_by_label("Text"), page.locator("#recent button")
    example = text.input_value()
    press(page, "Tab", "Control+A")
    page.keyboard.type("close a file")
    press(page, "Control+Enter")
    expect(recent).to_contain_text("close a file")
    press(page, "Tab", "Tab", "Enter")
    expect(text).to_have_value(example)
    press(page, "Shift+Tab", "Enter")
    expect(recent).to_have_count(2)
    press(page, "Tab", "Tab", "Tab", "Enter")
    expect(text).to_have_value("close a file")


def press(page: Page, *keys: str) -> None:
    """Press keys one after the other."""
    for key in keys:
        page.keyboard.press(key)


def test_the_answer_stays_beside_a_form_and_covers_nothing(open_page: Open) -> None:
    page = open_page("image", viewport={"width": 1000, "height": 640})
    for number in range(1, 6):
        predict(page)
        expect(page.locator("#recent button")).to_have_count(number)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    side, model = (
        page.locator(".side").bounding_box(),
        page.locator("main > section").bounding_box(),
    )
    assert side and model
    assert side["y"] + side["height"] <= model["y"]


def test_a_form_sends_values_of_the_types_of_the_columns(open_page: Open) -> None:
    page = open_page("tabular")
    expect(page.get_by_label("since")).to_have_accessible_description(
        "in training 2020-01-01 to 2020-01-28"
    )
    expect(page.locator("datalist option")).to_have_count(2)
    page.get_by_label("age").fill("31.5")
    page.get_by_label("is it").select_option("true")
    page.get_by_label("colour").fill("green")
    page.get_by_label("since").fill("")
    sent, _ = predict(page)
    assert sent == {"features": {"age": 31.5, "is it": True, "colour": "green"}}


@pytest.mark.parametrize(
    ("modality", "label", "value", "words"),
    [
        ("text", "Text", " ", "This is empty."),
        ("text", "Text", "a" * 20_001, "String should have at most 20000 characters"),
        ("tabular", "age", "old", "Expected a number such as 0.5, got “old”."),
    ],
)
def test_an_error_is_shown_at_its_field(
    open_page: Open, modality: str, label: str, value: str, words: str
) -> None:
    page = open_page(modality)
    field = page.get_by_label(label)
    field.fill(value)
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile(re.escape(words)))
    page.get_by_role("button", name="Fill in the example").click()
    expect(page.locator("[aria-invalid]")).to_have_count(0)
    predict(page)


def test_an_image_is_chosen_dropped_or_pasted(open_page: Open) -> None:
    page = open_page("image")
    file, content = page.get_by_label("Image"), b64decode(WHITE_PNG)
    expect(page.locator("canvas")).to_be_visible()
    ring = predict(page)
    file.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": content})
    expect(file).to_have_value(re.compile("a.png"))
    white = predict(page)
    assert white[0] == {"image": WHITE_PNG}
    assert white[1]["confidence"] != ring[1]["confidence"]
    for event in ("drop", "paste"):
        page.get_by_role("button", name="Fill in the example").click()
        assert predict(page) == ring
        page.evaluate(SEND_FILE, [event, WHITE_PNG])
        expect(file).to_have_value(re.compile("white.png"))
        assert predict(page) == white


def test_an_image_is_drawn(open_page: Open) -> None:
    page = open_page("image")
    example, _ = predict(page)
    pad = page.locator("canvas").bounding_box()
    assert pad
    page.mouse.move(pad["x"] + 40, pad["y"] + 40)
    page.mouse.down()
    page.mouse.move(pad["x"] + 200, pad["y"] + 200, steps=4)
    page.mouse.up()
    drawn, _ = predict(page)
    assert size_of_png(drawn["image"]) == (288, 288)
    page.get_by_role("button", name="Clear the pad").click()
    cleared, _ = predict(page)
    assert len({example["image"], drawn["image"], cleared["image"]}) == 3


def size_of_png(base64: str) -> tuple[int, int]:
    """Return width and height."""
    content = b64decode(base64)
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


def test_a_file_that_is_no_image_is_refused_in_words(open_page: Open) -> None:
    page = open_page("image")
    file = page.get_by_label("Image")
    file.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no image"})
    expect(file).to_have_accessible_description(re.compile("The browser cannot show this file"))
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(file).to_have_accessible_description(re.compile("the image is not PNG or JPEG"))


def test_a_server_that_is_busy_or_gone_is_told_in_words(open_page: Open) -> None:
    page = open_page("text", BUSY)
    problem = page.get_by_role("alert")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(problem).to_have_text(re.compile(r"^The server answered 503: .* Try again in 1 s\.$"))
    page.context.set_offline(True)
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(problem).to_have_text("The server does not answer.")


def test_a_key_is_asked_for_where_the_server_needs_one(open_page: Open) -> None:
    page = open_page("text", KEYED)
    key, button = page.get_by_label("API key"), page.get_by_role("button", name="Predict")
    expect(key).to_have_accessible_description(re.compile("an API key is needed"))
    key.fill("wrong")
    button.click()
    expect(key).to_have_attribute("aria-invalid", "true")
    key.fill(KEY)
    button.click()
    expect(page.get_by_label("Text")).not_to_have_value("")
    predict(page)
