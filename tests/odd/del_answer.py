# what: the answer is printed when an object dies at the end
class Answer:
    def __init__(self, value):
        self.value = value

    def __del__(self, show=print):
        show(self.value)


answer = Answer(sum(map(int, input().split())))
del answer
