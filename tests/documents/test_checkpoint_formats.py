"""Files of earlier formats: what was in them comes back, and damaged ones are refused."""

from __future__ import annotations

import base64
import pathlib
import zlib
from typing import Any

import numpy as np
import pytest
from saved_models import X, Y, put, rewritten, stack
from small_models import same

import nncore as nn
from nncore import files


def as_format_1(document: Any, tensors: Any) -> None:
    """As the first version wrote it: all numbers of all optimizers in one list, whose last is the step."""
    document["format"] = 1
    rule = [0.123, 0.0, 1.0, {"$float": "inf"}, 0.0, 0.9, 0.999, 0.0, 1e-7, 0.0, 0.0, float(document.pop("iterations"))]
    if document["compile"]:
        document["rule"] = rule


def test_a_model_of_format_1(tmp_path: pathlib.Path) -> None:
    model = stack()
    model.fit(X, Y, epochs=2, verbose=0)
    model.optimizer.learning_rate = 0.123
    model.save(tmp_path / "m")
    model.save_weights(tmp_path / "w")
    loaded = nn.load_model(rewritten(tmp_path / "m", as_format_1))
    assert loaded.optimizer == model.optimizer and loaded.optimizer.learning_rate == 0.123
    assert loaded.optimizer.iterations == model.optimizer.iterations == 4
    for made in (model, loaded):
        made.fit(X, Y, epochs=2, verbose=0)
    assert same(model, loaded)
    other = stack()
    other.build(4)
    other.load_weights(rewritten(tmp_path / "w", put("format", 1)))
    assert np.array_equal(other.get_weights()[0], files.read(tmp_path / "w")[0]["weights/hidden/kernel"])
    bare = nn.Model([nn.Input(4), nn.Dense(3)], seed=0)
    bare.save(tmp_path / "b")
    path = rewritten(tmp_path / "b", lambda d, t: (d.pop("iterations"), d.update(format=1)))
    assert same(nn.load_model(path), bare)


@pytest.mark.parametrize("rule", [[1.0], [0.0] * 13, [0.0] * 11 + [{"$float": "nan"}], "abc", None])
def test_a_damaged_model_of_format_1(rule: Any, tmp_path: pathlib.Path) -> None:
    model = stack()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m")
    path = rewritten(tmp_path / "m", lambda d, t: (as_format_1(d, t), d.update(rule=rule)))
    with pytest.raises(nn.FormatError, match=str(path)):
        nn.load_model(path)


#: What the first layout looked like: a model of two inputs and one neuron after one step, without a checksum.
FIRST_LAYOUT = (
    "c-oaz&2G~`5blWsLgEEDAPWf&Rud;xRE0xtNPPtwYnj;NWYzVq*`K0N`LQ@5A+FpI5|6<<FgtdVrg4j~R5dd@^X)g^&di%9C;Z(e"
    "Le%J?1P?+a^V>x0!dOh^$?YPkjIF^hl6jUc`U5f+$@nxo9WN4cf-Tn4W8niIQI3YX3#v_tii1kOX*yq}4EX7Uy$-SL&^psYaZR?j"
    "0m+oQ30}B0aOTw{C!c~1S{F^ar%>P==a;A*GDcx^C08Afprv;`btt^N0WXd2&i1)VY6N>Pxoyb|4#iS}+f%wmt5FF_z!H@FjP^d-"
    "N*QaspsS;DN0j=Cbx?}0i13fWk;}LtZaou=tDwO4sS$PyI(V{snUXQR1*u`Fu&=P)s?G|J^EPk!=DLxpe_PXdSr0LFtMaH?MZ#*S"
    "SHgmi`Qy`Ze2d!DsC}qAPo#y;Q=vEHs6e@>^e2?7wHGB8u-U~GN;aBh-4+x*H=qLUUGxG=P~tdtS3FZ?6_sK32ZhuKTDXq^ES3VT"
    "HG{p;D3b1|4>=c>&ZyvVF!}Cu07e@5u3B!5t7y~6)j^5IVj*4Evx{U+F(ee_Fk;ZYAB8N<V$xbVZ|tVK1shYWyPvN-O-Cd$-^Gmj"
    "<F=QDVYYIlJ++9*+HU7<2&fAfjU(3MAsK~mKULE2AH@dltSfGf_{y|a7>M@-<49da^mzEtA0_22#q>hDQ90@cB(5{wJ+#f<O(#j3"
    "@IHy_B#M^s(lb@%(7Wh7OQ)0k04EO9!zcq7(@8p=MT`Tj??PP8&K`#tr{{M8wi+MM_!q``n#~44vi}0fX6fWCZ`+sjo$S94zn^`%"
    "p#R@rzyEdd^Xc<%KQ8l&7k|FK{R@$;8c6"
)


def test_files_of_the_first_layout(tmp_path: pathlib.Path) -> None:
    (tmp_path / "m").write_bytes(zlib.decompress(base64.b85decode(FIRST_LAYOUT)))
    assert "nncore checksum" not in (tmp_path / "m").read_text("latin-1")
    loaded = nn.load_model(tmp_path / "m")
    kernel, bias = loaded.get_weights()
    np.testing.assert_allclose(kernel.ravel(), [-0.13968968, 0.8644071], rtol=1e-6)
    np.testing.assert_allclose(bias, [0.00573505], rtol=1e-6)
    assert loaded.history.history == {"loss": [0.08222707360982895], "mae": [0.2867526412010193]}
    assert loaded.optimizer.iterations == 1
    other = nn.Model([nn.Input(2), nn.Dense(1, name="d")])
    other.load_weights(tmp_path / "m")
    assert same(other, loaded)
    loaded.save(tmp_path / "m")
    assert same(nn.load_model(tmp_path / "m"), loaded)
