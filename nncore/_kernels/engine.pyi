from nncore._kernels.run import Run

# Why `Executor.run` and `Prediction.predict` came back.
END: int
STEPS: int
TIME: int
NEED_DATA: int
DIVERGED: int
BAD_DATA: int
NEED_VALUES: int
CALL: int
REDUCE: int

class Executor(Run):
    finite: bool
    @property
    def at(self) -> int: ...
    def answer(self, applies: bool = True) -> None: ...
    def abandon(self) -> None: ...
    def data_ready(self) -> None: ...
    def run(self, steps: int = -1, seconds: float = 0.0, threads: int = 0) -> int: ...
