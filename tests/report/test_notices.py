from microjoule.records.noticed import Noticed
from microjoule.report.history import history
from microjoule.report.notices import notices, notices_table, notices_text
from microjoule.report.sections import sections
from microjoule.report.terminal import summary
from tests.report.test_terminal import printed

NOTE = Noticed("batch", "photos", "the last batch was filled up", "nothing", serious=False)
WARNING = Noticed("input range", "x", "is that of the example, 0 to 1", "give input_range=(low, high)")


def test_warnings_come_before_notes_and_each_once():
    assert notices([NOTE, WARNING, NOTE, WARNING]) == [WARNING, NOTE]


def test_a_warning_is_marked_and_a_note_is_not():
    first, second = notices_table([NOTE, WARNING]).rows
    assert [cell.text for cell in first] == [WARNING.kind, WARNING.place, WARNING.fact, WARNING.remedy]
    assert (first[2].tone, second[2].tone) == ("bad", "")


def test_a_page_begins_with_its_warnings():
    section, *_ = sections([WARNING, NOTE])
    assert (section.name, len(section.tables[0].rows)) == ("warnings", 2)
    assert section.text.startswith("1 warning:")
    assert notices_text([WARNING, Noticed("a", "b", "c", "d")]).startswith("2 warnings:")
    assert notices_text([NOTE]) == "Nothing here is a warning."
    assert "warnings" not in {section.name for section in sections([])}


def test_a_terminal_shows_them_with_what_to_do():
    text = printed(summary([WARNING]))
    assert WARNING.fact in text
    assert WARNING.remedy in text


def test_a_step_says_which_of_both_it_is():
    assert [step.title for step in history([WARNING, NOTE])] == ["Warning", "Note"]
    assert history([WARNING])[0].summary == "x: is that of the example, 0 to 1"
