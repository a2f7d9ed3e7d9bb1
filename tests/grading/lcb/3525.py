# kind: functional
class Solution:
    def maxEnergyBoost(self, energyDrinkA: List[int], energyDrinkB: List[int]) -> int:
        a = b = 0
        for x, y in zip(energyDrinkA, energyDrinkB):
            a, b = max(a + x, b), max(b + y, a)
        return max(a, b)
