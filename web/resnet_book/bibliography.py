"""How the bibliography is set: labels as the chapters cite, author and year, and titles as their papers write them."""

from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from pybtex.style.labels import BaseLabelStyle
from pybtex.style.template import field, sentence


class AuthorYear(BaseLabelStyle):
    def format_labels(self, sorted_entries):
        """One label an entry; two works of the same authors and year have letters in their ``year``."""
        return [label(entry) for entry in sorted_entries]


def label(entry):
    """ "He et al., 2015a" """
    names = [str(person.rich_last_names[0]) if person.rich_last_names else str(person)
             for person in entry.persons.get("author", [])]
    two = len(names) == 2 and names[1] != "others"
    who = names[0] if len(names) == 1 else " and ".join(names) if two else f"{names[0]} et al."
    return f"{who}, {entry.fields['year']}"


class Style(Unsorted):
    default_label_style = AuthorYear
    default_sorting_style = "author_year_title"

    def format_title(self, e, which_field, as_sentence=True):
        return sentence[field(which_field)] if as_sentence else field(which_field)


def setup(app):
    register_plugin("pybtex.style.formatting", "resnet", Style)
