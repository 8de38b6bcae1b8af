"""Language codes of ISO 639 that may stand in the metadata of a model card.

The table holds every language with a two-letter code, and of the others African ones and those of dinku's corpora. The
whole standard has 8,000 codes, of which some are likely names of folders: *ner*, for one, is the code of Yahadian.
"""

from __future__ import annotations

_LISTED = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el "
    "en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it "
    "iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt "
    "my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk "
    "sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi "
    "yo za zh zu aar abk afr aka amh ara arg asm ava ave aym aze bak bam bel ben bis bod bos bre bul cat ces cha "
    "che chu chv cor cos cre cym dan deu div dzo ell eng epo est eus ewe fao fas fij fin fra fry ful gla gle glg "
    "glv grn guj hat hau hbs heb her hin hmo hrv hun hye ibo ido iii iku ile ina ind ipk isl ita jav jpn kal kan "
    "kas kat kau kaz khm kik kin kir kom kon kor kua kur lao lat lav lim lin lit ltz lub lug mah mal mar mkd mlg "
    "mlt mon mri msa mya nau nav nbl nde ndo nep nld nno nob nor nya oci oji ori orm oss pan pli pol por pus que "
    "roh ron run rus sag san sin slk slv sme smo sna snd som sot spa sqi srd srp ssw sun swa swe tah tam tat tel "
    "tgk tgl tha tir ton tsn tso tuk tur twi uig ukr urd uzb ven vie vol wln wol xho yid yor zha zho zul pcm bbj "
    "fon luo mos ada arq ary arz bas bem bin dag din dyu efi fat gaa gez guz kab kam kmb kri ktu lua luy men mer "
    "nso rif shi sid sus tem tiv tum umb urh wal zgh "
)
_CODES = frozenset(_LISTED.split())


def is_code(name: str) -> bool:
    """Whether a language's name is a two- or three-letter code of ISO 639 in the table."""
    return name in _CODES
